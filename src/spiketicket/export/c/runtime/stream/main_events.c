/* An example: reads events from standard input, "microseconds column row polarity" a line, and has
 * an answer after every frame. Membranes are carried on, and the mean is of the last frames: after
 * @UPPER@_STEPS of them, or when the margin is reached, a new one begins.
 *
 *     cmake -B build . && cmake --build build && build/@NAME@_example 10000 < events.txt
 *
 * The number is how many microseconds a frame has. On a board, the camera's interrupt pushes its
 * events, and a timer makes the step. An export leaves a main.c that is there alone. */
#include <stdio.h>
#include <stdlib.h>

#include "@NAME@.h"

static long long end_of_frame, length = @UPPER@_STEP_US ? @UPPER@_STEP_US : 10000;
static uint32_t in_mean;

static void answer(void)
{
    float logits[@UPPER@_CLASSES];
    (void)@NAME@_step(logits);
    in_mean++;
    printf("%lld us: %s%s\n", end_of_frame, @NAME@_class_names[@NAME@_best(logits)],
           @NAME@_decided(logits) ? ", decided" : "");
    if (in_mean == @UPPER@_STEPS || @NAME@_decided(logits)) {
        @NAME@_restart_mean();
        in_mean = 0;
    }
    end_of_frame += length;
}

int main(int count, char **words)
{
    long long t;
    unsigned x, y, p;
    int any = 0, read;
    if (count > 1) length = atoll(words[1]);
    if (length < 1) {
        fprintf(stderr, "a frame has at least one microsecond\n");
        return 2;
    }
    @NAME@_reset();
    while ((read = scanf("%lld %u %u %u", &t, &x, &y, &p)) == 4) {
        @NAME@_event event = {(uint16_t)x, (uint16_t)y, (uint8_t)(p != 0)};
        if (!any) end_of_frame = t + length;
        any = 1;
        if (x > 65535u || y > 65535u) continue;
        while (t >= end_of_frame) answer();
        @NAME@_push(&event, 1);
    }
    if (any) answer();
    if (read == EOF && any) return 0;
    fprintf(stderr, "an event is a line of four whole numbers\n");
    return 1;
}
