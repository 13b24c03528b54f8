"""What a device gets: its question, the offer, and the manifest."""
