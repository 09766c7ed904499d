/* Shows `frame` step by step, and answers as early as the margin allows. */
#include <zephyr/kernel.h>

#include "@NAME@.h"

static @NAME@_pixel frame[@UPPER@_CHANNELS * @UPPER@_HEIGHT * @UPPER@_WIDTH];

int main(void)
{
    float logits[@UPPER@_CLASSES];
    uint32_t steps;
    const uint32_t started = k_cycle_get_32();
    @NAME@_reset();
    do {
        @NAME@_show(frame); /* of recordings: the next frame */
        steps = @NAME@_step(logits);
    } while (steps < @UPPER@_STEPS && !@NAME@_decided(logits));
    printk("class %s after %u steps, %u cycles\n", @NAME@_class_names[@NAME@_best(logits)],
           (unsigned)steps, (unsigned)(k_cycle_get_32() - started));
    return 0;
}
