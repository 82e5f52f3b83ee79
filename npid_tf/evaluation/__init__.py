"""How good embeddings are: functions of arrays; no flag reaches this folder.

`npid_tf.protocols` holds the functions of a run that call these.
"""
