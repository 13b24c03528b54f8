# Reads the sensor once a minute, smooths the readings and prints them.
import time

from average import Average
from sensor import Sensor

PERIOD_S = 60

sensor = Sensor(pin="P16", calibration="/sd/calibration/offsets.json")
average = Average(length=5)
while True:
    average.add(sensor.read_celsius())
    print("{:.2f} C".format(average.value()))
    time.sleep(PERIOD_S)
