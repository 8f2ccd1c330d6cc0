"""VPC endpoints, security groups and MWAA as a pure model: no HTTP, no emulator, time from the cloud's clock.

It is served twice: by the emulator behind enforced IAM (``localcloud.hooks``) and in process
(``localcloud.inprocess``).
"""
