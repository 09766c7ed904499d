/* An example: reads images from standard input, @UPPER@_PIXELS numbers of type @RAW@ each, and
 * answers each as early as the margin allows.
 *
 *     cmake -B build . && cmake --build build && build/@NAME@_example < images
 *
 * On a board, `image` is filled by the camera. An export leaves a main.c that is there alone. */
#include <stdio.h>

#include "@NAME@.h"

#define FRAME (@UPPER@_PIXELS / @UPPER@_FRAMES)

static @RAW@ image[@UPPER@_PIXELS];

int main(void)
{
    float logits[@UPPER@_CLASSES];
    size_t count, images = 0;
    while ((count = fread(image, sizeof image[0], @UPPER@_PIXELS, stdin)) == @UPPER@_PIXELS) {
        uint32_t steps = 0;
        @NAME@_reset();
        do {
            if (!steps || @UPPER@_FRAMES > 1)
                @NAME@_show(image + (@UPPER@_FRAMES > 1 ? steps : 0u) * FRAME);
            steps = @NAME@_step(logits);
        } while (steps < @UPPER@_STEPS && !@NAME@_decided(logits));
        printf("%s after %d steps\n", @NAME@_class_names[@NAME@_best(logits)], (int)steps);
        images++;
    }
    if (count == 0 && images > 0) return 0;
    fprintf(stderr, "an image has %d numbers, the last one has %d\n", @UPPER@_PIXELS, (int)count);
    return 1;
}
