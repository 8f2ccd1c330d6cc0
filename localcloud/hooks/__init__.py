"""Where ministack is bent to behave as AWS does: one module per service, each with ``install(cloud)``.

The hooks replace private names of ministack 1.5.33 and nothing else. Each of them is named in
``localcloud/tests/contracts/test_hooked_names.py``, so that an upgrade fails at once and says where.
"""
