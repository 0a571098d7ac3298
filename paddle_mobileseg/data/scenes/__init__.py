"""Drawing of synthetic street scenes: the camera and canvas, the surroundings, the objects.

`paddle_mobileseg.data.synthetic` puts the parts together and is the module to use.
"""
