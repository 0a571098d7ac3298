"""A user's own images and labels as a data set folder that trains at once.

Three kinds of labels are read: mask images (:mod:`.masks`), LabelMe's JSON files (:mod:`.labelme`) and COCO's
(:mod:`.coco`). Each gives a :class:`.sources.Source`: what to draw for each image. :mod:`.importer` draws it, copies
the images, divides them into training and validation and writes the lists, the classes and a configuration.
"""

from paddle_mobileseg.data.importing.importer import ImportOptions, import_dataset

__all__ = ["ImportOptions", "import_dataset"]
