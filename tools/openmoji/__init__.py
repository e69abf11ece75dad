"""The choice of the classes of OpenMoji-LT, and a test of whether they can be distinguished."""
