"""What the tests run against: real systems, started and stopped by the tests."""
