"""The only SQL: functions of a cursor, each a step of a transaction or a query."""
