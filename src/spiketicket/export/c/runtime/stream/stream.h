
/* ---- one time step after the other; membranes are carried on from step to step */

/* To rest. Comes before anything else. */
void @NAME@_reset(void);

/* A new mean of the logits begins with the next step; membranes stay as they are. */
void @NAME@_restart_mean(void);

/* The picture, or the frame [channel][row][column], that the next step sees. A picture stays. */
void @NAME@_show(const @RAW@ *frame);

/* One time step; returns how many there were since the reset. The logits are of the mean over the
 * steps since then, or since the mean was restarted. */
uint32_t @NAME@_step(float *logits);

/* The class with the largest logit, the first of several. */
int @NAME@_best(const float *logits);

/* Whether the best class leads the next one by @UPPER@_MARGIN in the sums of the logits over the
 * steps: then the answer may come early. */
int @NAME@_decided(const float *logits);
