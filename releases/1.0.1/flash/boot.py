# Runs first after each reset; what the board needs before main.py goes here.
import gc

gc.collect()
