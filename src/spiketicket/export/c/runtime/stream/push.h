
/* An event: column and row of the camera's sensor, and whether it became brighter. */
typedef struct {
    uint16_t x, y;
    uint8_t polarity;
} @NAME@_event;

/* Counts events in the frame that the next step sees, as the ticket's frames are made. Events
 * outside of the sensor are left out. A step ends the frame: the next one begins empty. */
void @NAME@_push(const @NAME@_event *events, size_t count);
