"""Breaks a real Kafka, servers and clients on purpose, and writes down what happened."""
