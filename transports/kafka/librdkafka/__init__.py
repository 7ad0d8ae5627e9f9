"""The second driver: librdkafka, by the package confluent-kafka, which is an extra.

Owners, threads and promises are those of `transports.kafka.clients`. What differs from kafka-python
stands in docs/kafka.md. Nothing here is imported before the first client is opened.
"""

__all__: list[str] = []
