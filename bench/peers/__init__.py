"""The peers, one in each module: how it is started, and its server where that is a program of ours."""
