"""What an administrator sees of the daemon: metrics, health, and the status page with its buttons."""
