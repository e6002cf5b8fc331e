"""The view over HTTP: REST and server-sent events for people and other languages, a WebSocket for processes, health and metrics."""
