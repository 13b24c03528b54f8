# What to change before the sample runs on a board; the same in both releases.
from OTA import WiFiOTA

# On a Pycom, "P13" to "P20"; on another board the number of a pin that has an ADC, such as 34.
SENSOR_PIN = "P16"


def make_ota():
    # Wi-Fi network, its password, address of the server, its port. For FTP: FTPOTA and 2121.
    return WiFiOTA("workshop", "secret", "192.168.1.10", 8000, log=print)
