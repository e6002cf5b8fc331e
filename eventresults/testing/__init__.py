"""Contract suites and builders for authors of logs and views."""
