# A moving average over the last readings.


class Average:
    def __init__(self, length):
        self.length = length
        self.readings = []

    def add(self, reading):
        self.readings.append(reading)
        if len(self.readings) > self.length:
            self.readings.pop(0)

    def value(self):
        return sum(self.readings) / len(self.readings)
