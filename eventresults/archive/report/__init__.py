"""The saved questions and their answers as one HTML page, which needs nothing beside itself."""
