"""Who takes part in the race: functions that send to everybody and return how many were accepted."""
