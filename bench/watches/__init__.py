"""What the presets of watches cost and give.

Read in this order:

    plot  lines as an SVG file
    week  a simulated week of each preset
"""
