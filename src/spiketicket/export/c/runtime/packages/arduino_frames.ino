// Shows `frame` step by step, and answers as early as the margin allows.
#include <@NAME@.hpp>

static @NAME@_stream net;
static @NAME@_pixel frame[@UPPER@_CHANNELS * @UPPER@_HEIGHT * @UPPER@_WIDTH];

void setup() { Serial.begin(115200); }

void loop() {
  const unsigned long started = micros();
  net.reset();
  @NAME@_answer answer;
  do {
    net.show(frame);  // of recordings: the next frame
    answer = net.step();
  } while (answer.steps < @UPPER@_STEPS && !answer.decided);
  const unsigned long took = micros() - started;
  Serial.print(answer.name());
  Serial.print(" after ");
  Serial.print(answer.steps);
  Serial.print(" steps, ");
  Serial.print(took);
  Serial.println(" us");
  delay(1000);
}
