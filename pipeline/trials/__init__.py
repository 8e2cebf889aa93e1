"""What is measured on scenes whose finer truth is known.

simulate   such a scene            evaluate   one recipe on it      compare    many methods side by side
metrics    the figures             pictures   the same on sets of pictures without kelvin
network_costs   parameters, reach and operations of every network
"""
