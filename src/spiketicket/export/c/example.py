"""The ``main.c`` beside a network: it shows the calls, and runs on a computer as it is."""

from __future__ import annotations


def example(name: str, pixel: str, logit: str, layout: str, *, whole: bool) -> str:
    """A program that classifies images from standard input.

    Args:
        name: of the network.
        pixel, logit: their C types.
        layout: of an image, in words.
        whole: whether logits are whole numbers times one scale.
    """
    upper = name.upper()
    value = f"(double)logits[i] * {upper}_LOGIT_SCALE" if whole else "(double)logits[i]"
    return f"""\
/* An example: prints the class and the logits of every image on standard input. An image is
 * {upper}_PIXELS of type {pixel}: {layout}.
 *
 *     cc -std=c99 -O3 main.c {name}.c -o {name} && ./{name} < images
 *
 * On a board, `image` is filled by the camera. An export leaves a main.c that is there alone. */
#include <stdio.h>

#include "{name}.h"

#define PIXELS {upper}_PIXELS
#define CLASSES {upper}_CLASSES

static {pixel} image[PIXELS];

int main(void)
{{
    {logit} logits[CLASSES];
    size_t count, images = 0;
    while ((count = fread(image, sizeof image[0], PIXELS, stdin)) == PIXELS) {{
        int best = 0;
        {name}_run(image, logits); /* {name}_classify(image) gives the class alone */
        for (int i = 1; i < CLASSES; i++)
            if (logits[i] > logits[best]) best = i;
        printf("%s\\n", {name}_class_names[best]);
        for (int i = 0; i < CLASSES; i++)
            printf("    %.9g %s\\n", {value}, {name}_class_names[i]);
        images++;
    }}
    if (count == 0 && images > 0) return 0;
    fprintf(stderr, "an image has %d numbers, the last one has %d\\n", PIXELS, (int)count);
    return 1;
}}
"""
