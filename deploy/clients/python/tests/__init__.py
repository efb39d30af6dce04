"""Tests of the client: alone (`test_alone`), and against a running server (`test_server`)."""
