/* Classifies what lies in `image`: fill it from a camera. */
#include <zephyr/kernel.h>

#include "@NAME@.h"

static @NAME@_pixel image[@UPPER@_PIXELS];

int main(void)
{
    const uint32_t started = k_cycle_get_32();
    const int best = @NAME@_classify(image);
    const uint32_t took = k_cycle_get_32() - started;
    printk("class %s, %u cycles\n", @NAME@_class_names[best], (unsigned)took);
    return 0;
}
