/* Every frame of events is one time step; membranes are carried on. The camera's driver pushes. */
#include <zephyr/kernel.h>

#include "@NAME@.h"

#define STEP_US (@UPPER@_STEP_US ? @UPPER@_STEP_US : 10000)

int main(void)
{
    float logits[@UPPER@_CLASSES];
    static const @NAME@_event events[] = {{0, 0, 1}, {1, 0, 1}}; /* of your camera */
    @NAME@_reset();
    for (;;) {
        @NAME@_push(events, ARRAY_SIZE(events));
        const uint32_t steps = @NAME@_step(logits);
        if (@NAME@_decided(logits) || steps % @UPPER@_STEPS == 0) {
            printk("class %s\n", @NAME@_class_names[@NAME@_best(logits)]);
            @NAME@_restart_mean();
        }
        k_usleep(STEP_US);
    }
}
