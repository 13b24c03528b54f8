"""What every protocol shares: connections, transfers, and the record of what was served."""
