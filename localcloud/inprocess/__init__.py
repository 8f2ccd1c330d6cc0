"""AWS in one process: real boto3 clients, answered by the model without a server."""
