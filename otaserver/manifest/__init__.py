"""What a device gets: its request, the offer, and the manifest."""
