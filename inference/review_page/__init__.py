"""The page of `review`: what it lists, what a person decides, and the server that is between the two.

  decisions       what a line of review.jsonl says, and what lines add up to
  decision_log    the file of decisions: appended, synchronised, recovered
  listed_images   the scored images, and which of them a filter selects
  pictures        images and thumbnails for the screen
  reviewed_labels reviewed images in the formats of --export
  service         what the page asks for, as plain values
  guard           which requests are refused
  app, server     HTTP; the only modules that need the extra [review]
  static/         the page itself: HTML, CSS and JavaScript modules, without a build step

Begin with `decisions`, then `service`.
"""
