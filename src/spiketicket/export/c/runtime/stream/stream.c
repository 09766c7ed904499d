/* A spiking network that is run one time step at a time. See @NAME@.h. */
#include "@NAME@.h"

#include <string.h>

#ifdef __FAST_MATH__
#error "float32 must be rounded as written: compile without -ffast-math"
#endif

@ARRAYS@
static @RAW@ frame[@PLANE@u]; /* what the next step sees */
static uint32_t taken, averaged; /* steps, and those in the mean */
static int shown;                /* since what does not change from step to step was computed */

@RUNTIME@
@TABLES@
void @NAME@_restart_mean(void)
{
    averaged = 0;
@MEANS@}

void @NAME@_reset(void)
{
@RESTS@    memset(late, 0, sizeof late);
    memset(frame, 0, sizeof frame);
    taken = averaged = 0;
    shown = 1;
}

void @NAME@_show(const @RAW@ *given)
{
    memcpy(frame, given, sizeof frame);
    shown = 1;
}
@PUSH@
uint32_t @NAME@_step(float *logits)
{
    const float *input = NULL;
    (void)input, (void)states, (void)halves, (void)bytes, (void)floats, (void)spots;
    (void)run_lif, (void)run_step, (void)run_number, (void)run_leak, (void)run_maxpool;
    (void)run_add, (void)run_mask, (void)run_copy, (void)add_up, (void)run_synapse;
@START@    if (shown) {
@BEFORE@    }
@EACH@@BEHIND@    memcpy(logits, @LOGITS@, @CLASSES@ * sizeof *logits);
    averaged++;
#if @EVENTS@
    memset(frame, 0, sizeof frame); /* the events of the next step are others */
#endif
    shown = 0;
    return ++taken;
}

int @NAME@_best(const float *logits)
{
    int best = 0;
    for (int i = 1; i < @CLASSES@; i++)
        if (logits[i] > logits[best]) best = i;
    return best;
}

int @NAME@_decided(const float *logits)
{
    const int best = @NAME@_best(logits);
    float next = 0.0f;
    volatile float lead;
    int any = 0;
    for (int i = 0; i < @CLASSES@; i++)
        if (i != best && (!any || logits[i] > next)) next = logits[i], any = 1;
    if (!any) return 1;
    lead = logits[best] - next;
    lead = lead * (float)averaged;
    return lead >= @UPPER@_MARGIN;
}

void @NAME@_run(const @RAW@ *image, float *logits)
{
    @NAME@_reset();
    for (uint32_t step = 0; step < @STEPS@u; step++) {
        if (!step || @SEVERAL@) @NAME@_show(image + (size_t)(@SEVERAL@ ? step : 0u) * @PLANE@u);
        (void)@NAME@_step(logits);
    }
}

int @NAME@_classify(const @RAW@ *image)
{
    float logits[@CLASSES@];
    @NAME@_run(image, logits);
    return @NAME@_best(logits);
}
