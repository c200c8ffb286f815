"""What a call to AWS raises when AWS, or the way to it, fails: no fault of the record that was being handled."""

from __future__ import annotations

from botocore.exceptions import BotoCoreError, ClientError

AWS_FAILURES = (BotoCoreError, ClientError)
