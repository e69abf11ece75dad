"""How the classes of OpenMoji-LT were chosen, and whether they can be told apart."""
