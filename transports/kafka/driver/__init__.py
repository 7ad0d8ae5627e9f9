"""The parts of kafka-python that the transport is built of, and the cures of its traps.

Whoever needs kafka-python's errors or its administrative client takes them from here, so that it is
imported in one place.
"""

import warnings

with warnings.catch_warnings():
    # kafka-python reads its schemas by a function that Python 3.11 deprecated and 3.13 took back
    warnings.simplefilter("ignore", DeprecationWarning)
    from kafka import KafkaAdminClient
    from kafka import errors as kafka_errors

__all__ = ["KafkaAdminClient", "kafka_errors"]
