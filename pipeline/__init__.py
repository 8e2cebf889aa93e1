"""Sharper thermal scenes, one by one: what comes in, the science, what goes out.

    archive/ ──► superres/ ──► products/         process.py walks one scene through
    what comes in  the science   what goes out     nights/ plans many, flows/ runs them

    desk/ is what an analyst asks of products, trials/ what is measured where the truth is known.

Where do I add ...?
    a reader            archive/readers/<product>.py and one line in READERS
    an instrument       one line in archive/sensors.py, with its source
    a network           superres/networks/<name>.py and one line in NETWORKS
    a way to infer      a function Upscaler -> Upscaler in superres/applying/passes.py
    a view              products/views/<view>.py and one line in VIEWS
    a setting           its field in settings.py; in recipe_settings.py if it changes a pixel
"""
