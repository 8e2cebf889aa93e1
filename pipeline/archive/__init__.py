"""What comes in: names of scenes, and readers that turn files into kelvin on a grid."""
