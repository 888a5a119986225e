"""How good an input is, measured from the input as it is: speech, pictures and texts; and how to spoil one."""
