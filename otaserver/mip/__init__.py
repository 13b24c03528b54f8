"""Packages for MicroPython's installer, mip: the device library, and each release."""
