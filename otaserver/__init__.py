"""Over-the-air updates for fleets of MicroPython devices, over HTTP and FTP."""
