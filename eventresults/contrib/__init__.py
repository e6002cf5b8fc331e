"""Other libraries' doors into this one."""
