"""Who owns a view, keeps it moving along its log, and builds it anew when the log asks for that."""
