"""The contenders: functions that send to every recipient and return how many were accepted."""
