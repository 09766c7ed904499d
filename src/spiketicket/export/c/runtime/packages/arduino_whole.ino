// Classifies what lies in `image`: fill it from a camera, or from the serial port.
#include <@NAME@.h>

static @NAME@_pixel image[@UPPER@_PIXELS];

void setup() { Serial.begin(115200); }

void loop() {
  const unsigned long started = micros();
  const int best = @NAME@_classify(image);
  const unsigned long took = micros() - started;
  Serial.print(@NAME@_class_names[best]);
  Serial.print(" ");
  Serial.print(took);
  Serial.println(" us");
  delay(1000);
}
