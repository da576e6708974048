"""What a running node tells of itself, without slowing it down.

| file          | idea                                                                     |
|---------------|--------------------------------------------------------------------------|
| metrics.py    | the catalogue of metrics: every name, its type, unit, labels and help    |
| collectors.py | scrape time: plain counters that the node kept anyway become Prometheus text |
| logging.py    | structured lines on standard error; episodes instead of repetitions      |
| recorder.py   | the flight recorder: the newest decisions with their reasons             |
| loop_lag.py   | notices that this process itself runs late                               |

Hot paths bump plain integers; nothing here is called per message.
"""
