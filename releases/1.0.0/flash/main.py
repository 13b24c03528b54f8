# Reads the sensor once a minute and prints what it read.
import time

from sensor import Sensor

PERIOD_S = 60

sensor = Sensor(pin="P16")
while True:
    print("{:.1f} C".format(sensor.read_celsius()))
    time.sleep(PERIOD_S)
