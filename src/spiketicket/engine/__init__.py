"""Running a ticket without PyTorch: compile it to a program, run that in C or numpy.

``program.py`` defines the program, ``reference.py`` what it computes, ``compile/`` makes it of a
ticket, ``engine.py`` runs it.
"""
